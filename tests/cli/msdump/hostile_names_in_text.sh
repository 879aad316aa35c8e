make_cli_trace hostile t.mst && msdump --format=text --stacks t.mst
