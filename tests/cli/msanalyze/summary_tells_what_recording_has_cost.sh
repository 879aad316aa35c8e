make_cli_trace sampled t.mst
msanalyze summary t.mst | grep -E 'record|timed|shared|samples'
echo
msanalyze summary --pid=601 --format=json t.mst | grep -E 'hook|arena|recorder|sampling'
