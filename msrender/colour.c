/* Hash to hue, saturation and lightness, then to RGB: hsl() itself is unknown to many programs that show SVG.
 * Only the last part of a module's path counts, so that a picture is the same on another machine. */
#include "colour.h"

#include <math.h>
#include <string.h>

static uint32_t hash(struct view_text t)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < t.n; i++)
		h = (h ^ (unsigned char)t.s[i]) * 16777619u;
	/* FNV's low bits are weak for short names. */
	h ^= h >> 15;
	h *= 0x2c1b3c6du;
	return h ^ h >> 12;
}

static struct view_text base_name(struct view_text path)
{
	const char *slash = path.s ? memrchr(path.s, '/', path.n) : NULL;

	if (!slash)
		return path;
	return (struct view_text){slash + 1, path.n - (size_t)(slash + 1 - path.s)};
}

static uint32_t channel(double hue, double saturation, double lightness, double offset)
{
	double k = fmod(offset + hue / 30, 12);
	double a = saturation * fmin(lightness, 1 - lightness);
	double v = lightness - a * fmax(-1, fmin(fmin(k - 3, 9 - k), 1));

	return (uint32_t)lround(v * 255);
}

uint32_t colour_of_function(struct view_text module, struct view_text function)
{
	uint32_t m = hash(base_name(module)), f = hash(function);
	bool is_known = module.n > 0;
	double hue = fmod((double)(m % 360) + (double)(f >> 8 & 63) * 1.2 - 38 + 360, 360);
	double saturation = is_known ? 0.42 + (double)(f >> 16 & 15) / 80 : 0.03;
	double lightness = 0.67 + (double)(f & 15) / 120;

	return channel(hue, saturation, lightness, 0) << 16 | channel(hue, saturation, lightness, 8) << 8 |
	       channel(hue, saturation, lightness, 4);
}
