msanalyze --help && msanalyze leaks --help
