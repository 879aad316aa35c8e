make_cli_trace long 2000 t.mst && head -c 1700 t.mst >cut.mst
msdump --verify cut.mst | sed -E 's/(byte|length) [0-9]+/\1 N/g; s/[0-9,]+ bytes/N bytes/'
exit ${PIPESTATUS[0]}
