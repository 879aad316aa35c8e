#!/usr/bin/env python3
"""Runs the README's ```sh examples, line by line, in an empty directory with our tools on PATH.

readme.py README BIN_DIR. Every line must succeed; a pipeline's every part, but for SIGPIPE from `head`."""
import os, re, subprocess, sys, tempfile

text = open(sys.argv[1]).read()
lines = [l for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for l in block.splitlines() if l.strip()]
if len(lines) < 5:
    sys.exit("no examples found in the README")
env = dict(os.environ, PATH=os.path.abspath(sys.argv[2]) + ":" + os.environ["PATH"])
with tempfile.TemporaryDirectory() as d:
    for line in lines:
        r = subprocess.run(["bash", "-c", "set -e; set -o pipefail; " + line], cwd=d, env=env, capture_output=True, text=True)
        if r.returncode not in (0, 141):
            sys.exit("%s\nexit %d\n%s%s" % (line, r.returncode, r.stdout, r.stderr))
        print("ok: " + line)
