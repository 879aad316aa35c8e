make_cli_trace long 100000 t.mst
msdump t.mst | head -1
(trap '' PIPE; msdump t.mst; echo "status $?" >status) | head -1
cat status
