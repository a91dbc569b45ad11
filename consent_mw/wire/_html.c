/* What of a page needs no look, in C: what wire/html/skipping.py says, sooner.

Rule: what is skipped is what a browser's tokenizer reads as text, comments and tags, and what a decision could not
      concern; whatever is unusual ends it, and then Python alone decides.
Rule: how far is skipped may differ from what the Python beside it skips; what comes of a page never does.
Rule: nothing is read outside of the bytes that were given.
*/

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <string.h>

/* Raised whenever what this file and native.py say to each other changes. */
#define VERSION 1

typedef const unsigned char *Bytes;

/* What an octet is: white space of HTML, what ends a name, what is unusual in a name or in a bare value, and what in a
   value may lead elsewhere. */
enum { SPACE = 1, ENDS = 2, ODD_IN_NAME = 4, ODD_BARE = 8, LEADS = 16 };
static const unsigned char KINDS[256] = {
    ['\t'] = SPACE | ENDS, ['\n'] = SPACE | ENDS, ['\f'] = SPACE | ENDS, ['\r'] = SPACE | ENDS, [' '] = SPACE | ENDS,
    ['/'] = ENDS | LEADS, ['>'] = ENDS, ['='] = ODD_BARE, ['"'] = ODD_IN_NAME | ODD_BARE,
    ['\''] = ODD_IN_NAME | ODD_BARE, ['<'] = ODD_IN_NAME | ODD_BARE, ['`'] = ODD_BARE, ['&'] = LEADS, [':'] = LEADS,
    ['\\'] = LEADS, ['A' ... 'Z'] = ODD_IN_NAME,
};

/* Beginnings of the elements after which a browser may read on in another way; of the one that says the language. */
static const char *const CHANGES[] = {
    "scr", "sty", "svg", "sel", "tit", "tex", "if", "fr", "mat", "nos", "noe", "nof", "xm", "pl", "htm", NULL,
};
/* Beginnings of the attributes that count wherever they are, and of those that count even in a link. */
static const char *const MARKS[] = {"data-consent", NULL};
static const char *const IN_LINKS[] = {"data-consent", "ping", "style", "attr", "xlink", NULL};
/* References that stand for nothing that an address begins with or a host is made of. */
static const char *const USUAL[] = {
    "amp;", "nbsp;", "quot;", "apos;", "lt;", "gt;", "copy;", "reg;", "middot;", "laquo;", "raquo;", "lsquo;", "rsquo;",
    "ldquo;", "rdquo;", "ndash;", "mdash;", "times;", "euro;", "bull;", "larr;", "rarr;", "auml;", "euml;", "ouml;",
    "uuml;", "aacute;", "eacute;", "iacute;", "oacute;", "uacute;", "agrave;", "egrave;", "ograve;", "ccedil;", "#34;",
    "#38;", "#39;", "#034;", "#038;", "#039;", "#x22;", "#x26;", "#x27;", "#160;", "#169;", "#171;", "#187;", "#8211;",
    "#8212;", "#8216;", "#8217;", "#8218;", "#8219;", "#8220;", "#8221;", NULL,
};

static int is_letter(unsigned char one) { return (one | 0x20) >= 'a' && (one | 0x20) <= 'z'; }

static int is_digit(unsigned char one) { return one >= '0' && one <= '9'; }

static int begins(Bytes at, Bytes end, const char *const *words) {
    if (at == end)
        return 0;
    for (; *words != NULL; words++) {
        if (at[0] != (unsigned char)(*words)[0])
            continue;
        size_t size = strlen(*words);
        if ((size_t)(end - at) >= size && memcmp(at, *words, size) == 0)
            return 1;
    }
    return 0;
}

/* The end of a comment that begins here, behind its dashes; NULL where it has none, or is a short one. */
static Bytes after_comment(Bytes at, Bytes end) {
    if (at == end || *at == '>' || (*at == '-' && at + 1 < end && at[1] == '>'))
        return NULL;
    while ((at = memchr(at, '-', (size_t)(end - at))) != NULL) {
        if (end - at >= 3 && at[1] == '-' && at[2] == '>')
            return at + 3;
        if (end - at >= 4 && at[1] == '-' && at[2] == '!' && at[3] == '>')
            return at + 4;
        at++;
    }
    return NULL;
}

/* Whether this `&` of a value begins a reference that stands for nothing that matters, or none. */
static int and_is_plain(Bytes at, Bytes end) {
    Bytes next = at + 1;
    if (next == end || (*next != '#' && !is_letter(*next)))
        return 1;
    if (begins(next, end, USUAL))
        return 1;
    while (next < end && (is_letter(*next) || is_digit(*next) || (*next && strchr("_.[]%-", *next) != NULL)))
        next++;
    return next < end && next > at + 1 && *next == '=';
}

/* Whether no way of reading this value leads to another host. `start` is preceded by two bytes at least. */
static int is_plain(Bytes start, Bytes end) {
    for (Bytes at = start; at < end; at++) {
        unsigned char before, earlier;
        if (!(KINDS[*at] & LEADS))
            continue;
        switch (*at) {
        case '/':
            if (at + 1 < end && (at[1] == '/' || at[1] == '\\' || at[1] == '\t' || at[1] == '\r' || at[1] == '\n'))
                return 0;
            break;
        case ':':
            before = at[-1], earlier = at[-2] | 0x20;
            if (before == '\t' || before == '\r' || before == '\n')
                return 0;
            before |= 0x20;
            if (((before == 'p' || before == 'a') && earlier == 't') || (before == 's' && earlier == 'p'))
                return 0;
            if (before == 'p' || before == 'a' || before == 's')
                if (at[-2] == '\t' || at[-2] == '\r' || at[-2] == '\n')
                    return 0;
            break;
        case '&':
            if (!and_is_plain(at, end))
                return 0;
            break;
        default:
            return 0;
        }
    }
    return 1;
}

/* The end of the attributes of a tag that begin here, and of the tag; NULL where something in them counts. */
static Bytes after_attributes(Bytes at, Bytes end, int link, int plain) {
    for (;;) {
        while (at < end && (KINDS[*at] & SPACE || *at == '/'))
            at++;
        if (at == end)
            return NULL;
        if (*at == '>')
            return at + 1;
        Bytes name = at;
        while (at < end && !(KINDS[*at] & (ENDS | ODD_IN_NAME)) && *at != '=')
            at++;
        if (at == end || at == name || KINDS[*at] & ODD_IN_NAME || begins(name, at, link ? IN_LINKS : MARKS))
            return NULL;
        while (at < end && KINDS[*at] & SPACE)
            at++;
        if (at == end)
            return NULL;
        if (*at != '=')
            continue;
        for (at++; at < end && KINDS[*at] & SPACE; at++)
            ;
        if (at == end || *at == '>')
            return NULL;
        Bytes value = at;
        if (*at == '"' || *at == '\'') {
            value++;
            at = memchr(value, *at, (size_t)(end - value));
            if (at == NULL)
                return NULL;
        } else {
            while (at < end && !(KINDS[*at] & SPACE) && *at != '>') {
                if (KINDS[*at] & ODD_BARE)
                    return NULL;
                at++;
            }
            if (at == end)
                return NULL;
        }
        if (plain && !link && !is_plain(value, at))
            return NULL;
        if (*at == '"' || *at == '\'')
            at++;
    }
}

/* The end of the tag of which the name begins here; NULL where it counts. */
static Bytes after_tag(Bytes name, Bytes end, int plain) {
    Bytes at = name;
    while (at < end && !(KINDS[*at] & ENDS)) {
        if (!((*at >= 'a' && *at <= 'z') || is_digit(*at) || *at == '-'))
            return NULL;
        at++;
    }
    if (at == end || begins(name, at, CHANGES))
        return NULL;
    return after_attributes(at, end, at == name + 1 && *name == 'a', plain);
}

/* The end of the end tag of which the name begins here; NULL where it is an unusual one. */
static Bytes after_end_tag(Bytes at, Bytes end) {
    Bytes name = at;
    while (at < end && (is_letter(*at) || is_digit(*at) || *at == '-'))
        at++;
    return at < end && at > name && is_letter(*name) && *at == '>' ? at + 1 : NULL;
}

static Bytes skip(Bytes at, Bytes end, int plain) {
    while ((at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        Bytes after;
        if (end - at < 2)
            return at;
        if (is_letter(at[1]))
            after = after_tag(at + 1, end, plain);
        else if (at[1] == '/')
            after = after_end_tag(at + 2, end);
        else if (at[1] == '!')
            after = end - at >= 4 && at[2] == '-' && at[3] == '-' ? after_comment(at + 4, end) : NULL;
        else
            after = at[1] == '?' ? NULL : at + 1;
        if (after == NULL)
            return at;
        at = after;
    }
    return end;
}

static PyObject *html_skip(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *data;
    Py_ssize_t at, size;
    int plain;
    char *bytes;
    if (!PyArg_ParseTuple(arguments, "Snp:skip", &data, &at, &plain))
        return NULL;
    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0)
        return NULL;
    if (at < 0 || at > size) {
        PyErr_SetString(PyExc_ValueError, "at is outside of data");
        return NULL;
    }
    Bytes start = (Bytes)bytes;
    return PyLong_FromSsize_t(skip(start + at, start + size, plain) - start);
}

static PyMethodDef METHODS[] = {
    {"skip", html_skip, METH_VARARGS, "How far a page needs no look from here on."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) { return PyModule_AddIntConstant(module, "VERSION", VERSION); }

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, .m_name = "_html", .m_size = 0, .m_methods = METHODS, .m_slots = SLOTS,
};

PyMODINIT_FUNC PyInit__html(void) { return PyModuleDef_Init(&MODULE); }
