make_cli_trace sampled t.mst
msdump --samples t.mst
echo
msdump --samples --pid=601 --limit=2 --format=text t.mst
msdump --samples --from=100ms --format=text t.mst
msdump --samples --limit=3 --format=csv t.mst
cat t.mst | msdump --samples - | cmp - <(msdump --samples t.mst)
