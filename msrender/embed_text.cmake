# cmake -DIN=file -DOUT=file.c -DNAME=symbol -P embed_text.cmake: an ASCII text file as a C string constant.
file(READ ${IN} bytes HEX)
if(bytes MATCHES "^([0-9a-f][0-9a-f])*[89a-f][0-9a-f]([0-9a-f][0-9a-f])*$")
	message(FATAL_ERROR "${IN}: not ASCII")
endif()
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "extern const char ${NAME}[];\nconst char ${NAME}[] = {${bytes}0};\n")
