# Byte 732 is in the only THREAD frame before the events; a copy stands behind them.
make_cli_trace long 100000 t.mst && msdump t.mst >whole
damage t.mst 732
msdump t.mst >damaged
echo "exit $?"
cmp whole damaged && wc -l <damaged
