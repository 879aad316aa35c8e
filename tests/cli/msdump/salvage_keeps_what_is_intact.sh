make_cli_trace long 2000 t.mst && damage t.mst 1500
msdump --salvage saved.mst t.mst
echo $?
msdump t.mst >before 2>/dev/null
msdump saved.mst >after 2>/dev/null
wc -l <after
cmp before after
