make_cli_trace small t.mst
for key in bytes calls live peak max temporary; do
	echo "-- $key: $(msanalyze top --sort $key --format=csv t.mst | grep -oE '^([0-9]+,){6}[0-9.]+,[0-9]+' | tr '\n' ' ')"
done
msanalyze top --top 2 t.mst
