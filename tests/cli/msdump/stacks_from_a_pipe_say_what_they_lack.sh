make_cli_trace small t.mst && cat t.mst | msdump --stacks --limit=1 --format=text -
