make_cli_trace small t.mst && msdump --info t.mst | tail -n +2 >file && cat t.mst | msdump --info - | tail -n +2 >pipe && cmp file pipe
