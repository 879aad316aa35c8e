echo hello >t.mst
msdump --salvage out.mst t.mst
echo $?
ls
