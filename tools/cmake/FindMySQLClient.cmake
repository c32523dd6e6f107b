# A real libmysqlclient (MySQL's, >= 8.0, static): the system's, or the one tools/bootstrap built outside the checkout.
# Defines the target MySQLClient::MySQLClient.
if(DEFINED ENV{TIDEMARK_CACHE})
  set(_cache $ENV{TIDEMARK_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(_cache $ENV{XDG_CACHE_HOME}/tidemark)
else()
  set(_cache $ENV{HOME}/.cache/tidemark)
endif()
find_path(MySQLClient_INCLUDE_DIR mysql.h
  PATHS ${_cache}/libmysqlclient/include NO_DEFAULT_PATH)
find_library(MySQLClient_LIBRARY libmysqlclient.a PATHS ${_cache}/libmysqlclient/lib NO_DEFAULT_PATH)
if(NOT MySQLClient_LIBRARY)
  find_path(MySQLClient_INCLUDE_DIR mysql.h PATH_SUFFIXES mysql)
  find_library(MySQLClient_LIBRARY libmysqlclient.a)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MySQLClient REQUIRED_VARS MySQLClient_LIBRARY MySQLClient_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run tools/bootstrap, which supplies it")
if(MySQLClient_FOUND AND NOT TARGET MySQLClient::MySQLClient)
  add_library(MySQLClient::MySQLClient STATIC IMPORTED)
  set_target_properties(MySQLClient::MySQLClient PROPERTIES
    IMPORTED_LOCATION ${MySQLClient_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${MySQLClient_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES "OpenSSL::SSL;OpenSSL::Crypto;PkgConfig::ZSTD;z;resolv;Threads::Threads;${CMAKE_DL_LIBS}")
endif()
