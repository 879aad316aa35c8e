// Something for cc1plus to chew on: templates, so that its stacks are deep.
#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

std::map<std::string, std::vector<int>> table;

int sorted(std::function<int(int)> f)
{
	std::vector<int> &v = table["a"];
	std::transform(v.begin(), v.end(), v.begin(), f);
	std::sort(v.begin(), v.end(), std::greater<int>());
	return v.empty() ? 0 : v.front();
}
