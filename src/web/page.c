/* SPDX-License-Identifier: MIT */
/*
 * page - see page.h. The bytes are made of the files by embed.sh.
 */
#include "config.h"

#include "web/page.h"

#include <string.h>

#include "base/util.h"
#include "web/page-data.inc"

static const struct page_file files[] = {
	{ "/", "text/html; charset=utf-8", page_status_html, sizeof(page_status_html) },
	{ "/status.css", "text/css; charset=utf-8", page_status_css, sizeof(page_status_css) },
	{ "/status.js", "text/javascript; charset=utf-8", page_status_js, sizeof(page_status_js) },
	{ "/plot.js", "text/javascript; charset=utf-8", page_plot_js, sizeof(page_plot_js) },
	{ "/icon.svg", "image/svg+xml", page_icon_svg, sizeof(page_icon_svg) },
};

const struct page_file *page_find(const char *path)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		if (strcmp(files[i].path, path) == 0)
			return &files[i];
	return NULL;
}
