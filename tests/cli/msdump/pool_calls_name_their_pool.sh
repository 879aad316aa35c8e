make_cli_trace pools t.mst
msdump t.mst
msdump --format=text t.mst
msdump --format=csv t.mst
msdump --op=pool_free t.mst | wc -l
