// What RunRestore needs of the preparation besides PrepareRestore itself. Touches nothing.
#pragma once

#include "pitr/restore/restore.h"

namespace tidemark {

// The boundary of `point` and the plan to it. `earlier`: surgery of runs before, as far as it is
// not done yet; `given`: this command's, of which what is new must concern the plan (kUsage). The
// plan has both. `directory`: of a server that stands at `base`; kUnreachableTarget naming it if it
// is beyond the boundary. "" for a base that is a backup.
Result<ProvedPlan> PlanRestore(SourceAccess& archive, const Target& point, const GtidSet& base,
                               const Surgery& earlier, const Surgery& given,
                               const std::string& directory, bool for_pipe);
// The blockers that can be told at once, before a dump is read: the first of them.
Status CheckPlace(FileSystem& files, const SourceAccess& archive, const RestoreOptions& options);
// `data_is_lost`: what the directory holds is worth nothing, whatever restore.json says.
Result<PreparedRestore> PrepareRestore(FileSystem& files, SourceAccess& archive,
                                       const RestoreOptions& options, bool data_is_lost);

}  // namespace tidemark
