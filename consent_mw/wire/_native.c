/* The hot paths of wire/ once more, in C: what the Python beside it says, sooner.

Rule: the Python is the definition. What is unusual is answered with None, and then Python alone decides; what is
      answered here is what Python would have answered, byte for byte.
Rule: no exception for a visitor's bytes; one is raised only for arguments of the wrong kind.
Rule: nothing that is borrowed is used after a call that may run Python.
Rule: all that is remembered is bounded: by a Reader what is short and nothing that one visitor alone would send, by a
      Known what it was given to keep.
*/

#define PY_SSIZE_T_CLEAN
/* One build for every Python from 3.11 on; what that costs is less than the noise of a measurement. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* Raised whenever what this file and native.py say to each other changes, so that no other build is taken for it. */
#define VERSION 7

/* As in fields.py, known.py and request_head.py, whose tests hold them together. */
#define MOST_FIELDS 200
#define LONGEST_TARGET 16384
#define LONGEST_BLOCK 4096
#define LONGEST_LINE_KEPT 256
#define LONGEST_FIRST_LINE_KEPT 128
#define LINES_KEPT 1024 /* a power of two */
#define LEVEL_CHANGED 2

/* What an octet may stand in. */
enum { IN_NAME = 1, IN_VALUE = 2, IN_TARGET = 4 };
static const unsigned char OCTETS[256] = {
    [0x09] = 2, [0x20] = 2, ['!'] = 7, ['"'] = 6, ['#'] = 3, ['$'] = 7, ['%'] = 7, ['&'] = 7, ['\''] = 7,
    ['('] = 6, [')'] = 6, ['*'] = 7, ['+'] = 7, [','] = 6, ['-'] = 7, ['.'] = 7, ['/'] = 6, ['0' ... '9'] = 7,
    [':' ... '@'] = 6, ['A' ... 'Z'] = 7, ['[' ... ']'] = 6, ['^' ... 'z'] = 7, ['{'] = 6, ['|'] = 7, ['}'] = 6,
    ['~'] = 7, [0x80 ... 0xff] = 2,
};

typedef struct {
    const char *at;
    Py_ssize_t size;
} Span;

/* A line that was read before: its field, and that field's line and level, which the field holds. */
typedef struct {
    PyObject *field;
    Span line;
    long level;
} Slot;

/* Reads the heads of one direction, and remembers their lines. `names` is Python's own dictionary of names by their
   spelling; `classify` is asked for a name that is not in it. */
typedef struct {
    PyObject_HEAD
    PyObject *names;
    PyObject *classify;
    PyObject *never_kept;
    PyObject *nothing_repeated;
    PyObject *first_line;
    PyObject *first;
    Slot slots[LINES_KEPT];
} Reader;

/* --- bytes --- */

static int is_of(Span span, int where) {
    for (Py_ssize_t index = 0; index < span.size; index++) {
        if (!(OCTETS[(unsigned char)span.at[index]] & where)) return 0;
    }
    return 1;
}

/* Whether a value holds no control character. Values are long and seldom hold a tab, so eight octets are looked at
   at a time, and the table is asked where one of them is below a space or a DEL. */
static int is_value(Span span) {
    const uint64_t ones = UINT64_MAX / 255, highs = ones << 7;
    while (span.size >= 8) {
        uint64_t word;
        memcpy(&word, span.at, 8);
        uint64_t control = (word - ones * 0x20) & ~word;
        uint64_t del = word ^ (ones * 0x7f);
        del = (del - ones) & ~del;
        if (((control | del) & highs) && !is_of((Span){span.at, 8}, IN_VALUE)) return 0;
        span.at += 8;
        span.size -= 8;
    }
    return is_of(span, IN_VALUE);
}

static int is_blank(char octet) {
    return octet == ' ' || octet == '\t';
}

static Span stripped(Span span) {
    while (span.size > 0 && is_blank(span.at[0])) {
        span.at++;
        span.size--;
    }
    while (span.size > 0 && is_blank(span.at[span.size - 1])) {
        span.size--;
    }
    return span;
}

static Span up_to(Span span, char octet) {
    const char *found = span.size > 0 ? memchr(span.at, octet, (size_t)span.size) : NULL;
    return found == NULL ? span : (Span){span.at, found - span.at};
}

static int is_same(Span span, const char *text, Py_ssize_t size) {
    return span.size == size && memcmp(span.at, text, (size_t)size) == 0;
}

/* The octets of a bytes object, which it holds. Raises TypeError for anything else. */
static int text_of(PyObject *object, Span *text) {
    char *at;
    int failed = PyBytes_AsStringAndSize(object, &at, &text->size);
    text->at = failed ? NULL : at;
    return failed;
}

static PyObject *as_bytes(Span span) {
    return PyBytes_FromStringAndSize(span.at, span.size);
}

/* `name: value`. */
static PyObject *as_line(Span name, Span value) {
    PyObject *line = PyBytes_FromStringAndSize(NULL, name.size + 2 + value.size);
    if (line != NULL) {
        char *to = PyBytes_AsString(line);
        memcpy(to, name.at, (size_t)name.size);
        memcpy(to + name.size, ": ", 2);
        memcpy(to + name.size + 2, value.at, (size_t)value.size);
    }
    return line;
}

/* Where a line may be remembered. Nobody gains by lines that meet here: each takes the other's place. */
static size_t place_of(Span line) {
    const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t mixed = (uint64_t)line.size * factor, word;
    for (; line.size >= 8; line.at += 8, line.size -= 8) {
        memcpy(&word, line.at, 8);
        mixed = (mixed ^ word) * factor;
        mixed ^= mixed >> 32;
    }
    word = 0;
    memcpy(&word, line.at, (size_t)line.size);
    mixed = (mixed ^ word) * factor;
    return (size_t)(mixed >> 40) % LINES_KEPT;
}

/* --- fields --- */

/* The octets of the bytes at this place of a field. Raises for what is no field. */
static int part_of(PyObject *field, Py_ssize_t index, Span *part) {
    PyObject *held = PyTuple_GetItem(field, index);
    return held == NULL ? -1 : text_of(held, part);
}

static long level_of(PyObject *field) {
    PyObject *level = PyTuple_GetItem(field, 3);
    return level == NULL ? -1 : PyLong_AsLong(level);
}

/* The name of a field in lower case, and its level, as a new reference to the pair of both; NULL with an error. */
static PyObject *classified(Reader *self, Span name) {
    PyObject *key = as_bytes(name);
    if (key == NULL) return NULL;
    PyObject *found = PyDict_GetItemWithError(self->names, key);
    if (found != NULL) {
        Py_INCREF(found);
    } else if (!PyErr_Occurred()) {
        found = PyObject_CallFunctionObjArgs(self->classify, key, NULL);
    }
    Py_DECREF(key);
    return found;
}

static int remember(Reader *self, Span line, PyObject *field, long level) {
    int never = PySet_Contains(self->never_kept, PyTuple_GetItem(field, 0));
    if (never != 0) return never < 0 ? -1 : 0;
    Slot *slot = &self->slots[place_of(line)];
    PyObject *before = slot->field;
    Span held;
    if (part_of(field, 2, &held) < 0) return -1;
    Py_INCREF(field);
    *slot = (Slot){field, held, level};
    Py_XDECREF(before);
    return 0;
}

/* The field of a line, as a new reference. NULL without an error for a line that is none. */
static PyObject *read_line(Reader *self, Span line, long *level) {
    if (line.size <= LONGEST_LINE_KEPT) {
        Slot *slot = &self->slots[place_of(line)];
        if (slot->field != NULL && is_same(slot->line, line.at, line.size)) {
            *level = slot->level;
            Py_INCREF(slot->field);
            return slot->field;
        }
    }
    Span name = up_to(line, ':');
    if (name.size == line.size || name.size == 0 || !is_of(name, IN_NAME)) return NULL;
    Span rest = {line.at + name.size + 1, line.size - name.size - 1};
    Span plain = stripped(rest);
    if (!is_value(plain)) return NULL;
    int as_it_came = plain.size == rest.size - 1 && rest.at[0] == ' ';
    PyObject *pair = classified(self, name), *value = NULL, *whole = NULL, *field = NULL;
    PyObject *lower = pair == NULL ? NULL : PyTuple_GetItem(pair, 0);
    PyObject *number = lower == NULL ? NULL : PyTuple_GetItem(pair, 1);
    *level = number == NULL ? -1 : PyLong_AsLong(number);
    if (*level == -1 && PyErr_Occurred()) goto done;
    value = as_bytes(plain);
    whole = as_it_came ? as_bytes(line) : as_line(name, plain);
    if (value != NULL && whole != NULL) {
        field = PyTuple_Pack(4, lower, value, whole, number);
    }
    /* What is not as it came cannot be found again by what it became. */
    if (field != NULL && as_it_came && line.size <= LONGEST_LINE_KEPT && remember(self, line, field, *level) < 0) {
        Py_CLEAR(field);
    }
done:
    Py_XDECREF(pair);
    Py_XDECREF(value);
    Py_XDECREF(whole);
    return field;
}

/* Take note of a field that somebody looks at. `repeated` is made with the first that came before. */
static int notice(PyObject *lower, PyObject *value, PyObject *seen, PyObject **repeated) {
    PyObject *before = PyDict_GetItemWithError(seen, lower);
    if (before == NULL) return PyErr_Occurred() ? -1 : PyDict_SetItem(seen, lower, value);
    Py_INCREF(before);
    if (*repeated == NULL) {
        *repeated = PyDict_New();
    }
    PyObject *values = *repeated == NULL ? NULL : PyDict_GetItemWithError(*repeated, lower);
    if (values != NULL || PyErr_Occurred()) {
        Py_DECREF(before);
        return values == NULL ? -1 : PyList_Append(values, value);
    }
    values = PyList_New(0);
    int failed = values == NULL || PyList_Append(values, before) < 0 || PyList_Append(values, value) < 0 ||
                 PyDict_SetItem(*repeated, lower, values) < 0;
    Py_DECREF(before);
    Py_XDECREF(values);
    return failed ? -1 : 0;
}

/* The end of the line that begins here: a CR LF, or the end of all. NULL for a CR that stands alone. */
static const char *end_of_line(const char *at, const char *end) {
    const char *found = at < end ? memchr(at, '\r', (size_t)(end - at)) : NULL;
    if (found == NULL) return end;
    return found + 1 < end && found[1] == '\n' ? found : NULL;
}

/* The fields of these lines, what of them is seen, and what came more than once: the Read of fields.py. NULL, with
   or without an error. `at` stands before the line end that comes before the first line. */
static PyObject *read_fields(Reader *self, const char *at, const char *end) {
    PyObject *fields = PyList_New(0), *seen = PyDict_New(), *repeated = NULL, *read = NULL;
    int many = 0;
    if (fields == NULL || seen == NULL) goto done;
    while (at != end) {
        at += 2;
        const char *stop = end_of_line(at, end);
        if (stop == NULL || ++many > MOST_FIELDS) goto done;
        long level;
        PyObject *field = read_line(self, (Span){at, stop - at}, &level);
        if (field == NULL) goto done;
        int failed = PyList_Append(fields, field) < 0;
        if (!failed && level != 0) {
            failed = notice(PyTuple_GetItem(field, 0), PyTuple_GetItem(field, 1), seen, &repeated);
        }
        Py_DECREF(field);
        if (failed) goto done;
        at = stop;
    }
    read = PyTuple_Pack(3, fields, seen, repeated == NULL ? self->nothing_repeated : repeated);
done:
    Py_XDECREF(fields);
    Py_XDECREF(seen);
    Py_XDECREF(repeated);
    return read;
}

/* --- first lines --- */

/* Method, target and whether it is HTTP/1.0. NULL without an error for what is unusual. */
static PyObject *read_request_line(Span line) {
    Span method = up_to(line, ' ');
    if (method.size == 0 || method.size == line.size || !is_of(method, IN_NAME) ||
        is_same(method, "CONNECT", 7) || is_same(method, "TRACE", 5)) {
        return NULL;
    }
    Span rest = {line.at + method.size + 1, line.size - method.size - 1};
    Span target = up_to(rest, ' ');
    if (target.size == 0 || target.size == rest.size || target.size > LONGEST_TARGET || !is_of(target, IN_TARGET)) {
        return NULL;
    }
    Span version = {rest.at + target.size + 1, rest.size - target.size - 1};
    int older = is_same(version, "HTTP/1.0", 8);
    if (!older && !is_same(version, "HTTP/1.1", 8)) return NULL;
    PyObject *first = as_bytes(method), *second = as_bytes(target), *read = NULL;
    if (first != NULL && second != NULL) {
        read = PyTuple_Pack(3, first, second, older ? Py_True : Py_False);
    }
    Py_XDECREF(first);
    Py_XDECREF(second);
    return read;
}

/* Status, reason and whether it is HTTP/1.0. NULL without an error for what is unusual. */
static PyObject *read_status_line(Span line) {
    const char *at = line.at;
    if (line.size < 13 || memcmp(at, "HTTP/1.", 7) != 0 || (at[7] != '0' && at[7] != '1') || at[8] != ' ' ||
        at[9] < '1' || at[9] > '5' || at[10] < '0' || at[10] > '9' || at[11] < '0' || at[11] > '9' || at[12] != ' ') {
        return NULL;
    }
    Span said = {at + 13, line.size - 13};
    if (!is_value(said)) return NULL;
    PyObject *status = PyLong_FromLong((at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0'));
    PyObject *reason = as_bytes(said), *read = NULL;
    if (status != NULL && reason != NULL) {
        read = PyTuple_Pack(3, status, reason, at[7] == '0' ? Py_True : Py_False);
    }
    Py_XDECREF(status);
    Py_XDECREF(reason);
    return read;
}

/* What this first line says, as a new reference; the last one is remembered, since it most often comes again. */
static PyObject *first_of(Reader *self, Span line, PyObject *(*read)(Span)) {
    Span last;
    if (self->first_line != NULL && text_of(self->first_line, &last) == 0 && is_same(line, last.at, last.size)) {
        return Py_NewRef(self->first);
    }
    PyObject *first = read(line);
    /* A query can be personal; what has one is read anew. */
    if (first == NULL || line.size > LONGEST_FIRST_LINE_KEPT || up_to(line, '?').size < line.size) return first;
    PyObject *kept = as_bytes(line);
    if (kept == NULL) {
        Py_DECREF(first);
        return NULL;
    }
    PyObject *line_before = self->first_line, *before = self->first;
    Py_INCREF(first);
    self->first_line = kept;
    self->first = first;
    Py_XDECREF(line_before);
    Py_XDECREF(before);
    return first;
}

/* --- Reader --- */

static PyObject *read_whole(Reader *self, const char *at, const char *end, PyObject *(*read)(Span)) {
    const char *stop = end_of_line(at, end);
    PyObject *first = NULL, *fields = NULL, *both = NULL;
    if (stop != NULL) {
        first = first_of(self, (Span){at, stop - at}, read);
    }
    if (first != NULL) {
        fields = read_fields(self, stop, end);
    }
    if (fields != NULL) {
        both = PyTuple_Pack(2, first, fields);
    }
    Py_XDECREF(first);
    Py_XDECREF(fields);
    if (both == NULL && !PyErr_Occurred()) Py_RETURN_NONE;
    return both;
}

static PyObject *Reader_request(Reader *self, PyObject *raw) {
    Span head;
    if (text_of(raw, &head) < 0) return NULL;
    if (head.size < 4 || memcmp(head.at + head.size - 4, "\r\n\r\n", 4) != 0) Py_RETURN_NONE;
    return read_whole(self, head.at, head.at + head.size - 4, read_request_line);
}

static PyObject *Reader_response(Reader *self, PyObject *raw) {
    Span head;
    return text_of(raw, &head) < 0 ? NULL : read_whole(self, head.at, head.at + head.size, read_status_line);
}

static int Reader_traverse(Reader *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->names);
    Py_VISIT(self->classify);
    Py_VISIT(self->never_kept);
    Py_VISIT(self->nothing_repeated);
    /* What is remembered is bytes and numbers, which are part of no cycle; and there is no tp_clear, so that a Reader
       is whole for as long as anything can call it: dictionaries and functions break the cycles that it is in. */
    return 0;
}

static PyObject *Reader_forget(Reader *self, PyObject *Py_UNUSED(none)) {
    for (int index = 0; index < LINES_KEPT; index++) {
        Slot *slot = &self->slots[index];
        PyObject *field = slot->field;
        *slot = (Slot){NULL, {NULL, 0}, 0};
        Py_XDECREF(field);
    }
    Py_CLEAR(self->first_line);
    Py_CLEAR(self->first);
    Py_RETURN_NONE;
}

static PyObject *Reader_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    PyObject *names, *classify, *never_kept, *nothing_repeated;
    if (!PyArg_ParseTuple(args, "O!OO!O!", &PyDict_Type, &names, &classify, &PyFrozenSet_Type, &never_kept,
                          &PyDict_Type, &nothing_repeated)) {
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Reader *self = (Reader *)allocate(type, 0);
    if (self != NULL) {
        self->names = Py_NewRef(names);
        self->classify = Py_NewRef(classify);
        self->never_kept = Py_NewRef(never_kept);
        self->nothing_repeated = Py_NewRef(nothing_repeated);
    }
    return (PyObject *)self;
}

static void Reader_dealloc(Reader *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(Reader_forget(self, NULL));
    Py_XDECREF(self->names);
    Py_XDECREF(self->classify);
    Py_XDECREF(self->never_kept);
    Py_XDECREF(self->nothing_repeated);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef Reader_methods[] = {
    {"request", (PyCFunction)Reader_request, METH_O, NULL},
    {"response", (PyCFunction)Reader_response, METH_O, NULL},
    {"forget", (PyCFunction)Reader_forget, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Reader_slots[] = {
    {Py_tp_new, Reader_new},           {Py_tp_dealloc, Reader_dealloc}, {Py_tp_traverse, Reader_traverse},
    {Py_tp_methods, Reader_methods},   {0, NULL},
};

static PyType_Spec Reader_spec = {
    .name = "consent_mw.wire._native.Reader",
    .basicsize = sizeof(Reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = Reader_slots,
};

/* --- heads as bytes --- */

/* Append what is the caller's, and taken; it may be NULL with an error. */
static int put(PyObject *list, PyObject *item) {
    int failed = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return failed;
}

static int put_line_of(PyObject *lines, PyObject *field) {
    PyObject *line = PyTuple_GetItem(field, 2);
    return line == NULL ? -1 : PyList_Append(lines, line);
}

static int put_lines_of(PyObject *lines, PyObject *fields) {
    Py_ssize_t count = PyList_Size(fields);
    for (Py_ssize_t index = 0; index < count; index++) {
        if (put_line_of(lines, PyList_GetItem(fields, index)) < 0) return -1;
    }
    return count < 0 ? -1 : 0;
}

/* The head whole: each line with its end, and the empty line. */
static PyObject *written(PyObject *lines) {
    Span line;
    Py_ssize_t size = 2, count = PyList_Size(lines);
    for (Py_ssize_t index = 0; index < count; index++) {
        if (text_of(PyList_GetItem(lines, index), &line) < 0) return NULL;
        if (line.size > PY_SSIZE_T_MAX - 2 - size) return PyErr_NoMemory();
        size += line.size + 2;
    }
    PyObject *head = PyBytes_FromStringAndSize(NULL, size);
    if (head == NULL) return NULL;
    char *to = PyBytes_AsString(head);
    for (Py_ssize_t index = 0; index < count; index++) {
        text_of(PyList_GetItem(lines, index), &line);
        memcpy(to, line.at, (size_t)line.size);
        memcpy(to + line.size, "\r\n", 2);
        to += line.size + 2;
    }
    memcpy(to, "\r\n", 2);
    return head;
}

static int has(Py_ssize_t count, Py_ssize_t wanted) {
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments are wanted, not %zd", wanted, count);
        return 0;
    }
    return 1;
}

/* render(first_line, fields) */
static PyObject *render(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (!has(count, 2)) return NULL;
    PyObject *lines = PyList_New(0), *head = NULL;
    if (lines != NULL && PyList_Append(lines, args[0]) == 0 && put_lines_of(lines, args[1]) == 0) {
        head = written(lines);
    }
    Py_XDECREF(lines);
    return head;
}

/* named(fields, name) */
static PyObject *named(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    Span name;
    if (!has(count, 2) || text_of(args[1], &name) < 0) return NULL;
    PyObject *found = PyList_New(0);
    for (Py_ssize_t index = 0; found != NULL && index < PyList_Size(args[0]); index++) {
        PyObject *field = PyList_GetItem(args[0], index);
        Span lower;
        int failed = part_of(field, 0, &lower);
        if (!failed && is_same(lower, name.at, name.size)) failed = PyList_Append(found, field);
        if (failed) Py_CLEAR(found);
    }
    if (found != NULL && PyErr_Occurred()) Py_CLEAR(found);
    return found;
}

/* --- requests, observed --- */

/* The name and the value of one header; 0 for what is no pair of bytes. */
static int is_pair(PyObject *pair, PyObject **name, PyObject **value) {
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) return 0;
    *name = PyTuple_GetItem(pair, 0);
    *value = PyTuple_GetItem(pair, 1);
    return PyBytes_CheckExact(*name) && PyBytes_CheckExact(*value);
}

/* observe(headers, names, classify, nothing_repeated): what is seen, what came more than once, and the places and
   names of what may be changed. None for what is unusual. `classify` may do what it likes, to the list as well. */
static PyObject *observe(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (!has(count, 4)) return NULL;
    if (!PyList_Check(args[0]) || !PyDict_Check(args[1])) Py_RETURN_NONE;
    PyObject *seen = PyDict_New(), *changed = PyList_New(0), *repeated = NULL, *read = NULL;
    int failed = seen == NULL || changed == NULL;
    for (Py_ssize_t index = 0; !failed && index < PyList_Size(args[0]); index++) {
        PyObject *pair = Py_NewRef(PyList_GetItem(args[0], index)), *name, *value;
        if (!is_pair(pair, &name, &value)) {
            Py_DECREF(pair);
            read = Py_NewRef(Py_None);
            break;
        }
        PyObject *found = PyDict_GetItemWithError(args[1], name);
        if (found != NULL) {
            Py_INCREF(found);
        } else if (!PyErr_Occurred()) {
            found = PyObject_CallFunctionObjArgs(args[2], name, NULL);
        }
        PyObject *lower = found == NULL ? NULL : PyTuple_GetItem(found, 0);
        PyObject *number = lower == NULL ? NULL : PyTuple_GetItem(found, 1);
        long level = number == NULL ? -1 : PyLong_AsLong(number);
        failed = level < 0 ? -1 : level == 0 ? 0 : notice(lower, value, seen, &repeated);
        if (!failed && level >= LEVEL_CHANGED) {
            PyObject *place = PyLong_FromSsize_t(index);
            failed = put(changed, place == NULL ? NULL : PyTuple_Pack(2, place, lower));
            Py_XDECREF(place);
        }
        Py_XDECREF(found);
        Py_DECREF(pair);
    }
    if (!failed && read == NULL) {
        read = PyTuple_Pack(3, seen, repeated == NULL ? args[3] : repeated, changed);
    }
    Py_XDECREF(seen);
    Py_XDECREF(changed);
    Py_XDECREF(repeated);
    return read;
}

/* --- requests, forwarded --- */

/* What a name with an underscore is taken for is Python's to say (RFC 3875 4.1.18). 1, 0, or -1 with an error. */
static int is_plainly_named(PyObject *fields) {
    Py_ssize_t count = PyList_Size(fields);
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *field = PyList_GetItem(fields, index);
        long level = level_of(field);
        Span lower;
        if (level < 0 || part_of(field, 0, &lower) < 0) return -1;
        if (level >= LEVEL_CHANGED && up_to(lower, '_').size < lower.size) return 0;
    }
    return count < 0 ? -1 : 1;
}

/* Put down a field with this value (taken), its name as it came; nothing where the value is None. */
static int put_changed(PyObject *lines, PyObject *field, PyObject *value) {
    Span lower, line, now;
    int failed = -1;
    if (value == Py_None) {
        failed = 0;
    } else if (value != NULL && value == PyTuple_GetItem(field, 1)) {
        failed = put_line_of(lines, field);
    } else if (value != NULL && part_of(field, 0, &lower) == 0 && part_of(field, 2, &line) == 0 &&
             text_of(value, &now) == 0) {
        line.size = lower.size < line.size ? lower.size : line.size;
        failed = put(lines, as_line(line, now));
    }
    Py_XDECREF(value);
    return failed;
}

/* forward(first_line, fields, gone, remaining_cookies, changed_field, added): both callables may do what they like,
   to the list of fields as well, so that each field is held while they run. */
static PyObject *forward(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    if (!has(count, 6)) return NULL;
    PyObject *fields = args[1], *head = NULL;
    int plain = is_plainly_named(fields);
    if (plain <= 0) return plain < 0 ? NULL : Py_NewRef(Py_None);
    PyObject *lines = PyList_New(0);
    int failed = lines == NULL || PyList_Append(lines, args[0]) < 0, cookies = 0;
    for (Py_ssize_t index = 0; !failed && index < PyList_Size(fields); index++) {
        PyObject *field = Py_NewRef(PyList_GetItem(fields, index));
        long level = level_of(field);
        Span lower;
        if (level < 0 || part_of(field, 0, &lower) < 0) {
            failed = -1;
        } else if (level < LEVEL_CHANGED) {
            failed = put_line_of(lines, field);
        } else if (is_same(lower, "cookie", 6)) {
            failed = cookies++ ? 0 : put_changed(lines, field, PyObject_CallNoArgs(args[3]));
        } else {
            PyObject *name = PyTuple_GetItem(field, 0), *value = PyTuple_GetItem(field, 1);
            failed = PySet_Contains(args[2], name);
            if (failed == 0) {
                failed = put_changed(lines, field, PyObject_CallFunctionObjArgs(args[4], name, value, NULL));
            } else if (failed > 0) {
                failed = 0;
            }
        }
        Py_DECREF(field);
    }
    if (!failed && put_lines_of(lines, args[5]) == 0) {
        head = written(lines);
    }
    Py_XDECREF(lines);
    return head;
}

/* --- cookies --- */

/* The next cookie of what is left, with its name; empty segments are none. 0 at the end. */
static int next_cookie(Span *left, Span *name, Span *raw) {
    while (left->at != NULL) {
        *raw = up_to(*left, ';');
        Py_ssize_t taken = raw->size + 1;
        *left = taken > left->size ? (Span){NULL, 0} : (Span){left->at + taken, left->size - taken};
        Span before = up_to(*raw, '=');
        *name = stripped(before);
        if (before.size < raw->size) return 1;
        if (name->size > 0) {
            name->size = 0;
            return 1;
        }
    }
    return 0;
}

/* pieces_named(joined, names) */
static PyObject *pieces_named(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    Span left, name, raw;
    if (!has(count, 2) || text_of(args[0], &left) < 0) return NULL;
    Py_ssize_t many = PyTuple_Size(args[1]);
    PyObject *found = many < 0 ? NULL : PyList_New(0);
    while (found != NULL && next_cookie(&left, &name, &raw)) {
        int failed = 0, is_wanted = 0;
        for (Py_ssize_t index = 0; !failed && !is_wanted && index < many; index++) {
            Span wanted;
            failed = part_of(args[1], index, &wanted);
            is_wanted = !failed && is_same(name, wanted.at, wanted.size);
            if (is_wanted) {
                PyObject *value = as_bytes(raw);
                failed = put(found, value == NULL ? NULL : PyTuple_Pack(2, PyTuple_GetItem(args[1], index), value));
                Py_XDECREF(value);
            }
        }
        if (failed) Py_CLEAR(found);
    }
    return found;
}

/* Whether `known` says that a cookie of this name stays, or `keeps` where it says nothing; -1 with an error. */
static int stays(Span name, PyObject *known, PyObject *keeps) {
    PyObject *key = as_bytes(name);
    if (key == NULL) return -1;
    PyObject *said = PyDict_GetItemWithError(known, key);
    if (said != NULL) {
        Py_INCREF(said);
    } else if (!PyErr_Occurred()) {
        said = PyObject_CallFunctionObjArgs(keeps, key, NULL);
    }
    int answer = said == NULL ? -1 : PyObject_IsTrue(said);
    Py_XDECREF(said);
    Py_DECREF(key);
    return answer;
}

/* remaining(joined, known, keeps) */
static PyObject *remaining(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    Span left, name, raw;
    if (!has(count, 3) || text_of(args[0], &left) < 0) return NULL;
    /* What stays is never longer than what came, but for the separator that is put before the first. */
    char *kept = PyMem_Malloc((size_t)left.size + 1), *to = kept;
    if (kept == NULL) return PyErr_NoMemory();
    int whole = 1, answer = 0;
    while (answer >= 0 && next_cookie(&left, &name, &raw)) {
        answer = stays(name, args[1], args[2]);
        if (answer > 0) {
            *to = ';';
            memcpy(to + 1, raw.at, (size_t)raw.size);
            to += 1 + raw.size;
        } else {
            whole = 0;
        }
    }
    PyObject *remains = NULL;
    if (answer >= 0) {
        Span text = to == kept ? (Span){NULL, 0} : stripped((Span){kept + 1, to - kept - 1});
        remains = text.size == 0 ? Py_NewRef(Py_None) : whole ? Py_NewRef(args[0]) : as_bytes(text);
    }
    PyMem_Free(kept);
    return remains;
}

/* called(joined, known, call) */
static PyObject *called(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    Span left, name, raw;
    if (!has(count, 3) || text_of(args[0], &left) < 0) return NULL;
    PyObject *found = PyFrozenSet_New(NULL);
    while (found != NULL && next_cookie(&left, &name, &raw)) {
        PyObject *key = as_bytes(name);
        PyObject *said = key == NULL ? NULL : PyDict_GetItemWithError(args[1], key);
        if (said != NULL) {
            Py_INCREF(said);
        } else if (!PyErr_Occurred()) {
            said = PyObject_CallFunctionObjArgs(args[2], key, NULL);
        }
        if (said == NULL || PySet_Add(found, said) < 0) Py_CLEAR(found);
        Py_XDECREF(said);
        Py_XDECREF(key);
    }
    return found;
}

/* --- what is known of heads that came before --- */

#define PROBES 64

/* One head, by all of its octets, with what is known of it: a number, octets to send, an object. Both texts lie in one
   piece of memory, which is looked at as a whole, and seldom near to anything else. */
typedef struct {
    uint64_t hash;
    double number;
    char *text;
    Py_ssize_t size;
    Py_ssize_t size_sent;
    PyObject *value;
} Kept;

/* Two generations, as in remembered.py: each has room for twice `limit`, so that most are where they belong. */
typedef struct {
    PyObject_HEAD
    uint64_t seed;
    size_t mask;
    Py_ssize_t limit;
    Py_ssize_t counts[2];
    Kept *kept[2];
    uint64_t *once;
} Known;

#define ONCE_PER_KEPT 4

enum { YOUNG, OLD };

/* The text of a place whose head is young again: it is found no more, and ends no search too soon. */
static char TAKEN[1];

static uint64_t word_at(const char *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* Four sums side by side, since one alone would wait for itself. The seed keeps others from choosing what meets. */
static uint64_t hash_of(Span text, uint64_t seed) {
    const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t sums[4] = {seed, seed ^ factor, seed + factor, ~seed}, mixed = seed ^ (uint64_t)text.size, word = 0;
    for (; text.size >= 32; text.at += 32, text.size -= 32) {
        for (int lane = 0; lane < 4; lane++) {
            sums[lane] = (sums[lane] ^ word_at(text.at + 8 * lane)) * factor;
            sums[lane] ^= sums[lane] >> 29;
        }
    }
    for (; text.size >= 8; text.at += 8, text.size -= 8) {
        mixed = (mixed ^ word_at(text.at)) * factor;
        mixed ^= mixed >> 32;
    }
    memcpy(&word, text.at, (size_t)text.size);
    mixed = (mixed ^ word) * factor;
    for (int lane = 0; lane < 4; lane++) {
        mixed = (mixed ^ (mixed >> 31) ^ sums[lane]) * factor;
    }
    return mixed ^ (mixed >> 32);
}

static Kept *sought(Known *self, int generation, uint64_t hash, Span key) {
    Kept *kept = self->kept[generation];
    for (size_t step = 0; kept != NULL && step < PROBES; step++) {
        Kept *one = &kept[(hash + step) & self->mask];
        if (one->text == NULL) return NULL;
        if (one->hash == hash && is_same((Span){one->text, one->size}, key.at, key.size)) return one;
    }
    return NULL;
}

static void let_go(Kept *kept, size_t mask) {
    for (size_t index = 0; kept != NULL && index <= mask; index++) {
        if (kept[index].text != TAKEN) PyMem_Free(kept[index].text);
        Py_XDECREF(kept[index].value);
    }
    PyMem_Free(kept);
}

/* Keep what is the caller's to give: it is taken, whatever comes of it. -1 with an error. */
static int keep(Known *self, Kept one) {
    Kept *gone = NULL, *place = NULL;
    if (self->counts[YOUNG] >= self->limit || self->kept[YOUNG] == NULL) {
        Kept *fresh = PyMem_Calloc(self->mask + 1, sizeof(Kept));
        if (fresh == NULL) {
            PyErr_NoMemory();
            place = &one;
        } else {
            if (self->kept[YOUNG] != NULL) {
                gone = self->kept[OLD];
                self->kept[OLD] = self->kept[YOUNG];
                self->counts[OLD] = self->counts[YOUNG];
            }
            self->kept[YOUNG] = fresh;
            self->counts[YOUNG] = 0;
        }
    }
    for (size_t step = 0; place == NULL && step < PROBES; step++) {
        Kept *there = &self->kept[YOUNG][(one.hash + step) & self->mask];
        int same = there->text != NULL && there->hash == one.hash &&
                   is_same((Span){there->text, there->size}, one.text, one.size);
        if (there->text == NULL || same) place = there;
    }
    int failed = place == &one ? -1 : 0;
    /* Where all places are taken, the first one gives way. */
    if (place == NULL) place = &self->kept[YOUNG][one.hash & self->mask];
    Kept before = failed ? one : *place;
    if (!failed) {
        *place = one;
        self->counts[YOUNG] += before.text == NULL;
    }
    /* The last thing: what is let go may call anything, this table included. */
    PyMem_Free(before.text);
    Py_XDECREF(before.value);
    let_go(gone, self->mask);
    return failed;
}

/* What is known of this head; NULL where nothing is, or with an error. What was old is young again. */
static Kept *recall(Known *self, Span key) {
    uint64_t hash = hash_of(key, self->seed);
    Kept *one = sought(self, YOUNG, hash, key);
    if (one != NULL) return one;
    one = sought(self, OLD, hash, key);
    if (one == NULL) return NULL;
    Kept taken = *one;
    *one = (Kept){.text = TAKEN, .size = -1};
    self->counts[OLD]--;
    return keep(self, taken) < 0 ? NULL : sought(self, YOUNG, hash, key);
}

/* keep(key, value, number, sent) */
static PyObject *Known_keep(Known *self, PyObject *const *args, Py_ssize_t count) {
    Span key, sent;
    if (!has(count, 4) || text_of(args[0], &key) < 0 || text_of(args[3], &sent) < 0) return NULL;
    double number = PyFloat_AsDouble(args[2]);
    if (number == -1.0 && PyErr_Occurred()) return NULL;
    char *text = PyMem_Malloc((size_t)(key.size + sent.size));
    if (text == NULL) return PyErr_NoMemory();
    memcpy(text, key.at, (size_t)key.size);
    memcpy(text + key.size, sent.at, (size_t)sent.size);
    Kept one = {hash_of(key, self->seed), number, text, key.size, sent.size, Py_NewRef(args[1])};
    if (keep(self, one) < 0) return NULL;
    Py_RETURN_NONE;
}

/* None, unless there is an error. */
static PyObject *nothing(void) {
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* The octets by which these headers are found, put down at `to`: each line of what is `more` (a str), of names and of
   values. Their number, 0 for what is unusual, -1 with an error. */
static Py_ssize_t block_of(PyObject *headers, PyObject *more, char *to) {
    Span part;
    if (!PyList_Check(headers) || !PyUnicode_Check(more)) return 0;
    part.at = PyUnicode_AsUTF8AndSize(more, &part.size);
    if (part.at == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    char *at = to, *end = to + LONGEST_BLOCK;
    PyObject *name = NULL, *value = NULL;
    Py_ssize_t many = 2 * PyList_Size(headers);
    for (Py_ssize_t index = -1; index < many; index++) {
        if (index >= 0) {
            if (index % 2 == 0 && !is_pair(PyList_GetItem(headers, index / 2), &name, &value)) return 0;
            if (text_of(index % 2 ? value : name, &part) < 0) return -1;
        }
        if (part.size >= end - at || memchr(part.at, '\n', (size_t)part.size) != NULL) return 0;
        memcpy(at, part.at, (size_t)part.size);
        at += part.size;
        *at++ = '\n';
    }
    return at - to;
}

/* block(headers, more) */
static PyObject *block(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    char text[LONGEST_BLOCK];
    if (!has(count, 2)) return NULL;
    Py_ssize_t size = block_of(args[0], args[1], text);
    if (size <= 0) return size < 0 ? NULL : Py_NewRef(Py_None);
    return as_bytes((Span){text, size});
}

/* headers(headers, more, now) */
static PyObject *Known_headers(Known *self, PyObject *const *args, Py_ssize_t count) {
    char text[LONGEST_BLOCK];
    if (!has(count, 3)) return NULL;
    double now = PyFloat_AsDouble(args[2]);
    if (now == -1.0 && PyErr_Occurred()) return NULL;
    Py_ssize_t size = block_of(args[0], args[1], text);
    if (size <= 0) return size < 0 ? NULL : Py_NewRef(Py_None);
    Kept *found = recall(self, (Span){text, size});
    return found == NULL || now > found->number ? nothing() : Py_NewRef(found->value);
}

/* get(key) */
static PyObject *Known_get(Known *self, PyObject *head) {
    Span key;
    if (text_of(head, &key) < 0) return NULL;
    Kept *found = recall(self, key);
    return found == NULL ? nothing() : Py_NewRef(found->value);
}

/* Both of these, which are taken; the second may be NULL with an error. */
static PyObject *both_of(PyObject *first, PyObject *second) {
    PyObject *both = second == NULL ? NULL : PyTuple_Pack(2, first, second);
    Py_DECREF(first);
    Py_XDECREF(second);
    return both;
}

/* Whether the target begins with one of these; -1 with an error. */
static int is_apart(Span target, PyObject *apart) {
    Py_ssize_t many = PyTuple_Size(apart);
    for (Py_ssize_t index = 0; index < many; index++) {
        Span begins;
        if (part_of(apart, index, &begins) < 0) return -1;
        if (target.size >= begins.size && memcmp(target.at, begins.at, (size_t)begins.size) == 0) return 1;
    }
    return many < 0 ? -1 : 0;
}

/* request(raw, now, apart) */
static PyObject *Known_request(Known *self, PyObject *const *args, Py_ssize_t count) {
    Span raw;
    if (!has(count, 3) || text_of(args[0], &raw) < 0) return NULL;
    double now = PyFloat_AsDouble(args[1]);
    if (now == -1.0 && PyErr_Occurred()) return NULL;
    Span line = up_to(raw, '\r');
    if (line.size + 2 > raw.size || line.at[line.size + 1] != '\n' || line.size < 14 ||
        memcmp(line.at, "GET /", 5) != 0 || memcmp(line.at + line.size - 9, " HTTP/1.1", 9) != 0) {
        Py_RETURN_NONE;
    }
    Span target = {line.at + 4, line.size - 13};
    if (target.size > LONGEST_TARGET || !is_of(target, IN_TARGET)) Py_RETURN_NONE;
    int apart = is_apart(target, args[2]);
    if (apart != 0) return apart < 0 ? NULL : Py_NewRef(Py_None);
    Kept *found = recall(self, (Span){line.at + line.size + 2, raw.size - line.size - 2});
    if (found == NULL || now > found->number) return nothing();
    PyObject *whole = PyBytes_FromStringAndSize(NULL, line.size + found->size_sent);
    if (whole != NULL) {
        char *to = PyBytes_AsString(whole);
        memcpy(to, line.at, (size_t)line.size);
        memcpy(to + line.size, found->text + found->size, (size_t)found->size_sent);
    }
    return both_of(Py_NewRef(found->value), whole);
}

/* answer(raw) */
static PyObject *Known_answer(Known *self, PyObject *raw) {
    Span whole;
    if (text_of(raw, &whole) < 0) return NULL;
    const char *end = whole.at, *stop = whole.at + whole.size;
    while ((end = stop - end < 4 ? NULL : memchr(end, '\r', (size_t)(stop - end - 3))) != NULL) {
        if (memcmp(end, "\r\n\r\n", 4) == 0) break;
        end++;
    }
    if (end == NULL) Py_RETURN_NONE;
    Kept *found = recall(self, (Span){whole.at, end - whole.at});
    Span body = {end + 4, stop - end - 4};
    if (found == NULL || (double)body.size != found->number) return nothing();
    return both_of(Py_NewRef(found->value), as_bytes(body));
}

/* once(key) */
static PyObject *Known_once(Known *self, PyObject *head) {
    Span key;
    if (text_of(head, &key) < 0) return NULL;
    if (self->once == NULL) {
        self->once = PyMem_Calloc((self->mask + 1) * ONCE_PER_KEPT, sizeof(uint64_t));
        if (self->once == NULL) return PyErr_NoMemory();
    }
    /* Those that meet stand in a row, the last one first. */
    uint64_t hash = hash_of(key, self->seed), *row = &self->once[(hash & self->mask) * ONCE_PER_KEPT];
    int place = 0;
    while (place < ONCE_PER_KEPT - 1 && row[place] != hash) place++;
    int before = row[place] == hash;
    memmove(row + 1, row, (size_t)place * sizeof(uint64_t));
    row[0] = hash;
    return PyBool_FromLong(before);
}

static PyObject *Known_age(Known *self, PyObject *Py_UNUSED(none)) {
    Kept *gone = self->kept[OLD];
    self->kept[OLD] = self->kept[YOUNG];
    self->counts[OLD] = self->counts[YOUNG];
    self->kept[YOUNG] = NULL;
    self->counts[YOUNG] = 0;
    let_go(gone, self->mask);
    Py_RETURN_NONE;
}

static PyObject *Known_clear(Known *self, PyObject *Py_UNUSED(none)) {
    for (int generation = YOUNG; generation <= OLD; generation++) {
        Kept *gone = self->kept[generation];
        self->kept[generation] = NULL;
        self->counts[generation] = 0;
        let_go(gone, self->mask);
    }
    PyMem_Free(self->once);
    self->once = NULL;
    Py_RETURN_NONE;
}

static Py_ssize_t Known_length(Known *self) {
    return self->counts[YOUNG] + self->counts[OLD];
}

static int Known_traverse(Known *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (int generation = YOUNG; generation <= OLD; generation++) {
        for (size_t index = 0; self->kept[generation] != NULL && index <= self->mask; index++) {
            Py_VISIT(self->kept[generation][index].value);
        }
    }
    return 0;
}

static int Known_break(Known *self) {
    Py_XDECREF(Known_clear(self, NULL));
    return 0;
}

static PyObject *Known_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    Py_ssize_t limit;
    Py_hash_t seed;
    if (!PyArg_ParseTuple(args, "nn", &limit, &seed)) return NULL;
    if (limit < 1 || limit > (1 << 24)) {
        PyErr_SetString(PyExc_ValueError, "limit is not between 1 and 16777216");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Known *self = (Known *)allocate(type, 0);
    if (self == NULL) return NULL;
    self->seed = (uint64_t)seed;
    self->limit = limit;
    for (self->mask = 1; self->mask < 2 * (size_t)limit; self->mask *= 2);
    self->mask--;
    return (PyObject *)self;
}

static void Known_dealloc(Known *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack(self);
    Known_break(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef Known_methods[] = {
    {"keep", (PyCFunction)(void (*)(void))Known_keep, METH_FASTCALL, NULL},
    {"get", (PyCFunction)Known_get, METH_O, NULL},
    {"once", (PyCFunction)Known_once, METH_O, NULL},
    {"request", (PyCFunction)(void (*)(void))Known_request, METH_FASTCALL, NULL},
    {"answer", (PyCFunction)Known_answer, METH_O, NULL},
    {"headers", (PyCFunction)(void (*)(void))Known_headers, METH_FASTCALL, NULL},
    {"age", (PyCFunction)Known_age, METH_NOARGS, NULL},
    {"clear", (PyCFunction)Known_clear, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Known_slots[] = {
    {Py_tp_new, Known_new},           {Py_tp_dealloc, Known_dealloc},    {Py_tp_traverse, Known_traverse},
    {Py_tp_clear, Known_break},       {Py_sq_length, Known_length},      {Py_tp_methods, Known_methods},
    {0, NULL},
};

static PyType_Spec Known_spec = {
    .name = "consent_mw.wire._native.Known",
    .basicsize = sizeof(Known),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = Known_slots,
};

/* --- pages --- */

/* mentions(text, word): whether the word (in lower case, with a hyphen in it) stands in this text, in whatever case.
   Hyphens are rarer than letters, so that they are looked for. */
static PyObject *mentions(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    Span text, word;
    if (!has(count, 2) || text_of(args[0], &text) < 0 || text_of(args[1], &word) < 0) return NULL;
    Py_ssize_t before = up_to(word, '-').size;
    if (before == word.size) {
        PyErr_SetString(PyExc_ValueError, "word has no hyphen");
        return NULL;
    }
    const char *end = text.at + text.size, *at = text.at + (before < text.size ? before : text.size);
    while ((at = at < end ? memchr(at, '-', (size_t)(end - at)) : NULL) != NULL) {
        const char *start = at++ - before;
        Py_ssize_t same = 0;
        while (same < word.size && start + same < end) {
            char octet = start[same];
            if (octet >= 'A' && octet <= 'Z') octet = (char)(octet - 'A' + 'a');
            if (octet != word.at[same]) break;
            same++;
        }
        if (same == word.size) Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

/* --- the module --- */

static PyMethodDef functions[] = {
    {"render", (PyCFunction)(void (*)(void))render, METH_FASTCALL, NULL},
    {"named", (PyCFunction)(void (*)(void))named, METH_FASTCALL, NULL},
    {"block", (PyCFunction)(void (*)(void))block, METH_FASTCALL, NULL},
    {"observe", (PyCFunction)(void (*)(void))observe, METH_FASTCALL, NULL},
    {"forward", (PyCFunction)(void (*)(void))forward, METH_FASTCALL, NULL},
    {"pieces_named", (PyCFunction)(void (*)(void))pieces_named, METH_FASTCALL, NULL},
    {"mentions", (PyCFunction)(void (*)(void))mentions, METH_FASTCALL, NULL},
    {"called", (PyCFunction)(void (*)(void))called, METH_FASTCALL, NULL},
    {"remaining", (PyCFunction)(void (*)(void))remaining, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int failed = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return failed;
}

static int set_up(PyObject *module) {
    int failed = add_type(module, &Reader_spec) < 0 || add_type(module, &Known_spec) < 0 ||
                 PyModule_AddIntConstant(module, "VERSION", VERSION) < 0;
    return failed ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, set_up}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "consent_mw.wire._native",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
