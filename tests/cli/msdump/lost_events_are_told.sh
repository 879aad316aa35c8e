make_cli_trace lost t.mst && msdump t.mst
