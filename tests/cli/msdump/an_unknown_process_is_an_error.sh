make_cli_trace small t.mst
msdump --pid=77 t.mst; echo $?
msdump --samples --pid=77 t.mst; echo $?
msdump --pid=77 - <t.mst; echo $?
cat t.mst | msdump --pid=77 -; echo $?
cat t.mst | msdump --samples --pid=77 -; echo $?
msanalyze leaks --pid=77 t.mst; echo $?
msrender folded --pid=77 t.mst; echo $?
msdump --pid=77 --limit=1 --op=free --pid=100 t.mst; echo $?
