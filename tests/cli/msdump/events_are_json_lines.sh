make_cli_trace small t.mst && msdump t.mst
