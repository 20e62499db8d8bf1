dnl SPDX-License-Identifier: MIT
dnl What every object of the tree is built with: warnings, hardening, sanitizers, fuzzing, filters.

AC_DEFUN([INSET_WARNINGS],[
  AC_ARG_ENABLE([dev],[AS_HELP_STRING([--enable-dev],[developer build: warnings are errors])],[],[enable_dev=no])
  WARN_CFLAGS=
  AX_APPEND_COMPILE_FLAGS([-Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion -Wlogical-op -Wduplicated-cond],[WARN_CFLAGS],[-Werror])
  AS_IF([test "x$enable_dev" != xno],[WARN_CFLAGS="$WARN_CFLAGS -Werror"])
  HARDEN_CFLAGS=
  HARDEN_LDFLAGS=
  AX_APPEND_COMPILE_FLAGS([-fstack-protector-strong -fstack-clash-protection -fno-common -fPIE],[HARDEN_CFLAGS],[-Werror])
  AX_APPEND_LINK_FLAGS([-pie -Wl,-z,relro -Wl,-z,now],[HARDEN_LDFLAGS])
  AS_CASE([" $CFLAGS "],[*" -O0 "*],[],[*" -O"*],[
    AS_IF([test "x$with_sanitizer" = x -o "x$with_sanitizer" = xno],
          [HARDEN_CFLAGS="$HARDEN_CFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])])
  AC_SUBST([WARN_CFLAGS])
  AC_SUBST([HARDEN_CFLAGS])
  AC_SUBST([HARDEN_LDFLAGS])
])

AC_DEFUN([INSET_SANITIZE],[
  AC_ARG_WITH([sanitizer],[AS_HELP_STRING([--with-sanitizer=LIST],[e.g. address,undefined])],[],[with_sanitizer=no])
  AS_IF([test "x$with_sanitizer" = xyes],[with_sanitizer=address,undefined])
  SAN_CFLAGS=
  AS_IF([test "x$with_sanitizer" != xno],[SAN_CFLAGS="-fsanitize=$with_sanitizer -fno-omit-frame-pointer -fno-sanitize-recover=all"])
  AC_SUBST([SAN_CFLAGS])
])

AC_DEFUN([INSET_FUZZ],[
  AC_ARG_WITH([fuzzer],[AS_HELP_STRING([--with-fuzzer],[link tests/fuzz with libFuzzer (clang)])],[],[with_fuzzer=no])
  AM_CONDITIONAL([FUZZER],[test "x$with_fuzzer" != xno])
  AS_IF([test "x$with_fuzzer" != xno],[SAN_CFLAGS="$SAN_CFLAGS -fsanitize=fuzzer-no-link"])
])

dnl The decoder's sandbox: seccomp unless asked for none. Sanitizers and seccomp do not mix.
AC_DEFUN([INSET_SANDBOX],[
  AC_ARG_WITH([sandbox],[AS_HELP_STRING([--with-sandbox=KIND],[decoder sandbox: seccomp (default) or none, for sanitizer builds])],[],[with_sandbox=seccomp])
  AS_IF([test "x$with_sandbox" = xyes],[with_sandbox=seccomp])
  AS_IF([test "x$with_sandbox" = xno],[with_sandbox=none])
  AS_CASE([$with_sandbox],
    [seccomp],[PKG_CHECK_MODULES([SECCOMP],[libseccomp >= 2.5])
      AC_DEFINE([SANDBOX_SECCOMP],[1],[decoder children run under seccomp])],
    [none],[SECCOMP_CFLAGS=; SECCOMP_LIBS=],
    [AC_MSG_ERROR([--with-sandbox takes seccomp or none])])
  AC_SUBST([SECCOMP_CFLAGS])
  AC_SUBST([SECCOMP_LIBS])
  AM_CONDITIONAL([SANDBOX_SECCOMP],[test "x$with_sandbox" = xseccomp])
])

dnl HEIC and AVIF through libheif, where it is there.
AC_DEFUN([INSET_HEIF],[
  AC_ARG_WITH([heif],[AS_HELP_STRING([--with-heif],[HEIC and AVIF through libheif @<:@default=auto@:>@])],[],[with_heif=auto])
  AS_IF([test "x$with_heif" != xno],
    [PKG_CHECK_MODULES([HEIF],[libheif >= 1.15],[inset_heif=yes],[inset_heif=no])],
    [inset_heif=no])
  AS_IF([test "x$with_heif$inset_heif" = xyesno],[AC_MSG_ERROR([--with-heif, but no libheif 1.15])])
  with_heif=$inset_heif
  AS_IF([test "x$with_heif" = xyes],[AC_DEFINE([HAVE_HEIF],[1],[libheif is there])],[HEIF_CFLAGS=; HEIF_LIBS=])
  HEIF_CFLAGS=`AS_ECHO(["$HEIF_CFLAGS"]) | sed 's/-I/-isystem /g'`
])

dnl INSET_FILTER([name],[default]): --with-filter-name, a conditional, a row in filter/builtin.h.
AC_DEFUN([INSET_FILTER],[
  AC_ARG_WITH([filter-$1],[AS_HELP_STRING([--with-filter-$1],[build filter $1 @<:@default=$2@:>@])],[inset_use=$withval],[inset_use=$2])
  AM_CONDITIONAL([FILTER_$1],[test "x$inset_use" != xno])
  AS_IF([test "x$inset_use" != xno],[
    filter_externs="${filter_externs}extern const struct filter_ops filter_$1; "
    filter_entries="${filter_entries}&filter_$1, "
    filter_names="${filter_names}$1 "])
])

dnl INSET_DIR([option],[usual folder],[what]): --with-OPTION=DIR, "yes" for the usual one, none unless asked for:
dnl `make install` below a prefix of one's own must not write into the system's folders.
AC_DEFUN([INSET_DIR],[
  AC_ARG_WITH([$1],[AS_HELP_STRING([--with-$1=DIR],[install $3 into DIR, "yes" for $2 @<:@default=no@:>@])],[$1=$withval],[$1=no])
  AS_IF([test "x$$1" = xyes],[$1=$2])
  AC_SUBST([$1])
  AM_CONDITIONAL([INSTALL_$1],[test "x$$1" != xno])
])
