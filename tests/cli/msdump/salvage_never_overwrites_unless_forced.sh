make_cli_trace small t.mst && echo precious >out.mst
msdump --salvage out.mst t.mst
echo $?
cat out.mst
msdump --salvage out.mst --force t.mst
echo $?
msdump out.mst 2>/dev/null | wc -l
