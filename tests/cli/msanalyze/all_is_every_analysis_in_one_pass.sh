make_cli_trace small t.mst && msanalyze all --top 1 t.mst
# the same answers as one by one
msanalyze all --format=json t.mst >all.json
for name in summary leaks peak top mismatches memory maps modules processes threads; do msanalyze $name --format=json t.mst >$name.json; done
python3 -c '
import json
def members(pairs):
    assert len(dict(pairs)) == len(pairs), [name for name, _ in pairs]
    return dict(pairs)
all = json.load(open("all.json"), object_pairs_hook=members)
print([(n, a == json.load(open(n + ".json"))) for n, a in all.items()])'
