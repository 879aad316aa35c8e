make_cli_trace long 2000 t.mst && msdump t.mst >/dev/full
