make_cli_trace small t.mst && msdump --stacks --limit=6 t.mst
