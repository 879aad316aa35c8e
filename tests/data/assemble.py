#!/usr/bin/env python3
"""assemble.py FILE.mst.hex OUT: the bytes that a commented hex file spells; '#' starts a comment."""
import sys

text = open(sys.argv[1], encoding="utf-8").read()
digits = "".join(line.split("#")[0] for line in text.splitlines())
open(sys.argv[2], "wb").write(bytes.fromhex(digits))
