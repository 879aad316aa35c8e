echo "hello world" >t.mst
for name in summary leaks peak top all; do
	msanalyze $name t.mst
	echo $?
done
msanalyze leaks missing.mst
