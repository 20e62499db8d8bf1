/* SPDX-License-Identifier: MIT */
/*
 * xpath - see xpath.h.
 *
 * libxml2 finds out about a wrong prefix or function only when it comes to it, so a small
 * scanner (XPath 1.0, 3.7) looks at all names of an expression first.
 */
#include "config.h"

#include "xmpp/xpath.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/ns.h"

#define WRAPPER_END "</x>"

struct xpath {
	xmlXPathCompExprPtr compiled;
};

struct xpath_unit {
	xmlDocPtr doc;
	xmlNodePtr wrapper; /* holds the namespaces that the unit's nodes point to */
	xmlXPathContextPtr context;
	uint64_t left; /* steps */
};

static const struct {
	const char *prefix;
	const char *ns;
} prefixes[] = {
#define XPATH_PREFIX(prefix, ns) { prefix, ns },
#include "xmpp/xpath.def"
#undef XPATH_PREFIX
};

const char *xpath_prefix(size_t i, const char **ns_out)
{
	if (i >= ARRAY_SIZE(prefixes))
		return NULL;
	*ns_out = prefixes[i].ns;
	return prefixes[i].prefix;
}

/* --- names ----------------------------------------------------------------------------- */

static const char *const functions[] = {
	"boolean",
	"ceiling",
	"concat",
	"contains",
	"count",
	"false",
	"floor",
	"id",
	"lang",
	"last",
	"local-name",
	"name",
	"namespace-uri",
	"normalize-space",
	"not",
	"number",
	"position",
	"round",
	"starts-with",
	"string",
	"string-length",
	"substring",
	"substring-after",
	"substring-before",
	"sum",
	"translate",
	"true",
	/* node types */
	"comment",
	"node",
	"processing-instruction",
	"text",
};

struct scan {
	const char *at;
	bool operand; /* a value stands before: a name is an operator */
	bool attribute;
	char bare[64]; /* first element name without prefix; "" for none */
	struct err_msg *msg;
};

static bool is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static size_t name_len(const char *s)
{
	size_t n = 0;

	if (!is_name_start(*s))
		return 0;
	while (is_name_start(s[n]) || (s[n] >= '0' && s[n] <= '9') || s[n] == '-' || s[n] == '.')
		n++;
	return n;
}

static bool is_word(const char *word, const char *p, size_t n)
{
	return strlen(word) == n && memcmp(word, p, n) == 0;
}

static int scan_prefix(struct scan *s, const char *name, size_t n)
{
	size_t i;

	if (is_word("c", name, n) || is_word("xml", name, n))
		return 0;
	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (is_word(prefixes[i].prefix, name, n))
			return 0;
	return err_msg_set(s->msg, ERR_SYNTAX, "prefix \"%.*s\" is not bound", (int)MIN_OF(n, 64u),
			   name);
}

static int scan_function(struct scan *s, const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(functions); i++)
		if (is_word(functions[i], name, n))
			return 0;
	return err_msg_set(s->msg, ERR_SYNTAX, "there is no function \"%.*s\"", (int)MIN_OF(n, 64u),
			   name);
}

static int scan_name(struct scan *s, size_t n)
{
	const char *name = s->at, *next = name + n + strspn(name + n, " \t\r\n");
	int rc = 0;

	s->at = name + n;
	if (s->operand) { /* and or mod div */
		s->operand = false;
		return 0;
	}
	if (next[0] == ':' && next[1] == ':') {
		s->attribute = is_word("attribute", name, n) || is_word("namespace", name, n);
		s->at = next + 2;
		return 0;
	}
	if (next[0] == '(') {
		rc = scan_function(s, name, n);
	} else if (s->at[0] == ':') {
		rc = scan_prefix(s, name, n);
		s->at++;
		s->at += *s->at == '*' ? 1 : name_len(s->at);
		if (!rc && s->at[strspn(s->at, " \t\r\n")] == '(')
			rc = scan_function(s, name, (size_t)(s->at - name));
		s->operand = true;
	} else {
		if (!s->attribute && !s->bare[0]) {
			memcpy(s->bare, name, MIN_OF(n, sizeof(s->bare) - 1));
			s->bare[MIN_OF(n, sizeof(s->bare) - 1)] = '\0';
		}
		s->operand = true;
	}
	s->attribute = false;
	return rc;
}

static int scan_other(struct scan *s)
{
	const char *end;

	switch (*s->at) {
	case '"':
	case '\'':
		end = strchr(s->at + 1, *s->at);
		if (!end)
			return err_msg_set(s->msg, ERR_SYNTAX, "a quote is not closed");
		s->at = end;
		s->operand = true;
		break;
	case '$':
		return err_msg_set(s->msg, ERR_SYNTAX, "there are no variables");
	case '@':
		s->attribute = true;
		s->operand = false;
		break;
	case ')':
	case ']':
	case '.':
		s->operand = true;
		break;
	case '*': /* a multiplication, or any name */
		s->operand = !s->operand;
		s->attribute = false;
		break;
	default:
		s->operand = *s->at >= '0' && *s->at <= '9';
		break;
	}
	s->at++;
	return 0;
}

static int scan_all(struct scan *s, const char *text)
{
	int rc = 0;

	for (s->at = text; *s->at && !rc;) {
		size_t n = name_len(s->at);

		if (n)
			rc = scan_name(s, n);
		else if (strchr(" \t\r\n", *s->at))
			s->at++;
		else
			rc = scan_other(s);
	}
	return rc;
}

bool xpath_has_bare_name(const char *text, char out[64])
{
	struct err_msg msg;
	struct scan s = { .msg = &msg };

	if (scan_all(&s, text) || !s.bare[0])
		return false;
	memcpy(out, s.bare, sizeof(s.bare));
	return true;
}

/* --- compiling ------------------------------------------------------------------------- */

static void keep_quiet(void *user UNUSED, xmlErrorPtr error UNUSED)
{
}

int xpath_compile(const char *text, struct xpath **out, struct err_msg *msg)
{
	struct scan s = { .msg = msg };
	xmlXPathContextPtr context;
	struct xpath *x;
	int rc;

	*out = NULL;
	if (strlen(text) > XPATH_TEXT_MAX)
		return err_msg_set(msg, ERR_SYNTAX, "expression of more than %d bytes",
				   XPATH_TEXT_MAX);
	rc = scan_all(&s, text);
	if (rc)
		return rc;
	x = calloc(1, sizeof(*x));
	context = x ? xmlXPathNewContext(NULL) : NULL;
	if (!context) {
		free(x);
		return ERR_NOMEM;
	}
	context->error = keep_quiet;
	x->compiled = xmlXPathCtxtCompile(context, (const xmlChar *)text);
	rc = x->compiled                                    ? 0
	     : context->lastError.code == XML_ERR_NO_MEMORY ? ERR_NOMEM
							    : ERR_SYNTAX;
	xmlXPathFreeContext(context);
	if (rc) {
		free(x);
		return rc == ERR_NOMEM ? rc : err_msg_set(msg, rc, "it is no XPath 1.0 expression");
	}
	*out = x;
	return 0;
}

void xpath_free(struct xpath **x)
{
	if (!*x)
		return;
	xmlXPathFreeCompExpr((*x)->compiled);
	free(*x);
	*x = NULL;
}

/* --- one unit -------------------------------------------------------------------------- */

static xmlDocPtr tree_of(const struct nsctx *ctx, const uint8_t *p, size_t len)
{
	xmlParserCtxtPtr parser;
	size_t wrapper_len;
	const char *wrapper = nsctx_wrapper(ctx, &wrapper_len);
	xmlDocPtr doc;

	if (len > INT_MAX)
		return NULL;
	parser = xmlCreatePushParserCtxt(NULL, NULL, NULL, 0, NULL);
	if (!parser)
		return NULL;
	xmlCtxtUseOptions(parser, XML_PARSE_IGNORE_ENC | XML_PARSE_NONET | XML_PARSE_NOERROR |
					  XML_PARSE_NOWARNING);
	if (xmlSwitchEncoding(parser, XML_CHAR_ENCODING_UTF8) == 0 &&
	    xmlParseChunk(parser, wrapper, (int)wrapper_len, 0) == 0 &&
	    xmlParseChunk(parser, (const char *)p, (int)len, 0) == 0)
		xmlParseChunk(parser, WRAPPER_END, sizeof(WRAPPER_END) - 1, 1);
	doc = parser->myDoc;
	if (!parser->wellFormed || parser->errNo == XML_ERR_NO_MEMORY) {
		xmlFreeDoc(doc);
		doc = NULL;
	}
	parser->myDoc = NULL;
	xmlFreeParserCtxt(parser);
	return doc;
}

static int bind_prefixes(struct xpath_unit *u, const struct nsctx *ctx)
{
	size_t i;

	if (xmlXPathRegisterNs(u->context, (const xmlChar *)"c",
			       (const xmlChar *)nsctx_default(ctx)))
		return ERR_NOMEM;
	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (xmlXPathRegisterNs(u->context, (const xmlChar *)prefixes[i].prefix,
				       (const xmlChar *)prefixes[i].ns))
			return ERR_NOMEM;
	return 0;
}

int xpath_unit_new(const struct nsctx *ctx, const uint8_t *p, size_t len, uint64_t steps,
		   struct xpath_unit **out)
{
	struct xpath_unit *u = calloc(1, sizeof(*u));
	xmlNodePtr unit = NULL;

	*out = NULL;
	if (!u)
		return ERR_NOMEM;
	u->doc = tree_of(ctx, p, len);
	u->wrapper = u->doc ? xmlDocGetRootElement(u->doc) : NULL;
	unit = u->wrapper ? xmlFirstElementChild(u->wrapper) : NULL;
	if (!unit) {
		u->wrapper = NULL; /* freed with the document */
		xpath_unit_free(&u);
		return ERR_WELL_FORMED;
	}
	/* /c:message is the unit; what declares its namespaces stays beside the document. */
	xmlDocSetRootElement(u->doc, unit);
	u->context = xmlXPathNewContext(u->doc);
	if (!u->context || bind_prefixes(u, ctx)) {
		xpath_unit_free(&u);
		return ERR_NOMEM;
	}
	u->context->error = keep_quiet;
	u->left = steps;
	*out = u;
	return 0;
}

void xpath_unit_free(struct xpath_unit **up)
{
	struct xpath_unit *u = *up;

	*up = NULL;
	if (!u)
		return;
	xmlXPathFreeContext(u->context);
	/* Its names may be in the document's dictionary, so it goes first. */
	xmlFreeNode(u->wrapper);
	xmlFreeDoc(u->doc);
	free(u);
}

int xpath_holds(struct xpath_unit *u, const struct xpath *x, bool *out)
{
	int rc;

	*out = false;
	if (!u->left)
		return ERR_TOO_BIG;
	u->context->node = (xmlNodePtr)u->doc;
	u->context->opCount = 0;
	u->context->opLimit = u->left;
	rc = xmlXPathCompiledEvalToBoolean(x->compiled, u->context);
	if (rc == -1) { /* whatever failed, no other expression is tried on this unit */
		u->left = 0;
		return ERR_TOO_BIG;
	}
	u->left -= MIN_OF((uint64_t)u->context->opCount, u->left);
	*out = rc == 1;
	return 0;
}
