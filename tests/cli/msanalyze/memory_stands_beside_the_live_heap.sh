make_cli_trace sampled t.mst
msanalyze memory t.mst
echo
msanalyze memory --points=3 --pid=600 --format=csv t.mst
echo
msanalyze memory --points=2 --top=1 --format=json t.mst
cat t.mst | msanalyze memory --format=csv - | cmp - <(msanalyze memory --format=csv t.mst)
make_cli_trace small u.mst
msanalyze memory u.mst # no samples
