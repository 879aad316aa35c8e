msrecord; echo $?
msrecord --; echo $?
msrecord --folow=none true; echo $?
msrecord --follow=some true; echo $?
msrecord --stack-depth=100000 true; echo $?
msrecord --level=0 true; echo $?
msrecord --time-shift=99 true; echo $?
msrecord --on-full=maybe true; echo $?
msrecord --buffer=1023K true; echo $?
msrecord --buffer=1G true; echo $?
msrecord --resolve t.mst true; echo $?
ls
