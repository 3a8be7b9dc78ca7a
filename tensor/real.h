/* Real: the type of every value that a tensor holds.
 *
 * float by default; double when everything, user code included, is compiled with -DWEFT_DOUBLE. Objects of the two
 * kinds fail to link with each other: the missing symbol's name says which kind the library was built for. */
#ifndef WEFT_REAL_H
#define WEFT_REAL_H

/* The type, its name as text, and the symbol by which a library of the other kind is refused. */
#ifdef WEFT_DOUBLE
typedef double Real;
#define WEFT_PRECISION "double"
#define WEFT_PRECISION_SYMBOL weft_library_is_built_for_double
#else
typedef float Real;
#define WEFT_PRECISION "float"
#define WEFT_PRECISION_SYMBOL weft_library_is_built_for_float
#endif

/* Around the declarations of a public header: they have C's linkage in C++, too, and are all that the shared library
 * shows. */
#ifdef __cplusplus
#define WEFT_PUBLIC_BEGIN _Pragma("GCC visibility push(default)") extern "C" {
#define WEFT_PUBLIC_END } _Pragma("GCC visibility pop")
#else
#define WEFT_PUBLIC_BEGIN _Pragma("GCC visibility push(default)")
#define WEFT_PUBLIC_END _Pragma("GCC visibility pop")
#endif

WEFT_PUBLIC_BEGIN

/* Whoever includes this needs the library of its own kind. */
extern const char WEFT_PRECISION_SYMBOL;
static const char *const weft_precision_check __attribute__((used)) = &WEFT_PRECISION_SYMBOL;

WEFT_PUBLIC_END

/* Samples that are computed together, one in each SIMD lane. */
enum { WEFT_LANES = 16 };

#endif
