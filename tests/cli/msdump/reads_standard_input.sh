make_cli_trace small t.mst && msdump t.mst >file && msdump - <t.mst | cmp - file && cat t.mst | msdump - | cmp - file
