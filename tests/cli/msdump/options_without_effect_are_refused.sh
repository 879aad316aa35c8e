make_cli_trace small t.mst
for options in "--force" "--salvage=s.mst --format=text" "--salvage=s.mst --pid=1" "--verify --stacks" "--verify --format=csv" \
	"--info --limit=3" "--info --from=1s" "--info --to=1s" "--samples --op=malloc" "--samples --tid=1" "--samples --stacks" \
	"--info --verify"; do
	msdump $options t.mst
	echo "$? for $options"
done
test ! -e s.mst
