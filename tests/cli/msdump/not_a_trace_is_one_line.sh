echo "hello world" >t.mst
: >empty.mst
for option in "" --info --verify --stacks; do
	for file in t.mst empty.mst missing.mst .; do
		msdump $option $file
		echo "$option $file: $?"
	done
done
