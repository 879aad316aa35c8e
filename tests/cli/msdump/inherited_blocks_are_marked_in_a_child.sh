make_cli_trace forks t.mst && msdump --format=text t.mst
