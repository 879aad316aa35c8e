make_cli_trace long 2000 t.mst && msdump --limit=2 t.mst
