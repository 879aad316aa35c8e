make_cli_trace open t.mst && msdump --format=text t.mst
