make_cli_trace small t.mst && msdump --format=csv t.mst && msdump --format=csv --stacks --limit=6 t.mst
