/* Real: the type of every value that a tensor holds.
 *
 * float by default; double when everything, user code included, is compiled with -DWEFT_DOUBLE. Objects of the two
 * kinds fail to link with each other: the missing symbol's name says which kind the library was built for. */
#ifndef WEFT_REAL_H
#define WEFT_REAL_H

#ifdef WEFT_DOUBLE
typedef double Real;
#define WEFT_PRECISION "double"
#define WEFT_PRECISION_SYMBOL weft_library_is_built_for_double
#else
typedef float Real;
#define WEFT_PRECISION "float"
#define WEFT_PRECISION_SYMBOL weft_library_is_built_for_float
#endif

#ifdef __cplusplus
extern "C" {
#endif

extern const char WEFT_PRECISION_SYMBOL;
static const char *const weft_precision_check __attribute__((used)) = &WEFT_PRECISION_SYMBOL;

#ifdef __cplusplus
}
#endif

/* Samples that are computed together, one in each SIMD lane. */
enum { WEFT_LANES = 16 };

#endif
