echo precious > t.mst
msrecord -o t.mst touch ran; echo $?
msrecord -o nowhere/t.mst touch ran; echo $?
ln -s t.mst link
msrecord -f -o link touch ran; echo $?
mkdir dir
msrecord -f -o dir touch ran; echo $?
MSTRACE_CAPTURE_LIB=/nonexistent msrecord touch ran; echo $?
cat t.mst
ls
