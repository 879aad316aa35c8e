make_cli_trace cxx t.mst
msdump --format=text t.mst
msdump --op=delete_sized t.mst
msdump --format=csv --op=delete_sized t.mst
