# event 13 releases what event 6 acquired: its size is known although that was not printed
make_cli_trace small t.mst && msdump --format=text --from=13us --to=14336ns t.mst
