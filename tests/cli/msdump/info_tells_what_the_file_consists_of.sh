# sizes depend on the zstd library
make_cli_trace small t.mst && msdump --info t.mst | sed -E 's/[0-9.]+ (B|KiB)/N \1/g; s/[0-9.]+ %/N %/; s/^(bytes per event|compression of frames): .*/\1: N/; s/ +/ /g'
