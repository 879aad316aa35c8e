/* flame_script.js as a C string, made at build time. */
#ifndef MS_RENDER_FLAME_SCRIPT_H
#define MS_RENDER_FLAME_SCRIPT_H

extern const char flame_script[];

#endif
