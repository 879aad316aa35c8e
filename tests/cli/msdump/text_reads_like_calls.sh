make_cli_trace small t.mst && msdump --format=text --stacks t.mst
