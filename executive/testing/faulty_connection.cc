#include "executive/testing/faulty_connection.h"

#include <cstdint>
#include <utility>

namespace ctlstore::executive {
namespace {

class FaultyConnection : public ctldb::Connection {
 public:
  FaultyConnection(std::unique_ptr<ctldb::Connection> connection, const Faults* faults)
      : connection_(std::move(connection)), faults_(faults) {}

  // Not to be called after the connection was taken away.
  const ctldb::Dialect& dialect() const override { return connection_->dialect(); }

  absl::StatusOr<int64_t> Execute(absl::string_view sql,
                                  absl::Span<const ValueView> parameters) override {
    absl::Status status = Check(sql);
    if (!status.ok()) return status;
    return connection_->Execute(sql, parameters);
  }

  absl::Status Query(absl::string_view sql, absl::Span<const ValueView> parameters,
                     RowVisitor visit) override {
    absl::Status status = Check(sql);
    if (!status.ok()) return status;
    return connection_->Query(sql, parameters, visit);
  }

  absl::Status BeginWrite() override {
    absl::Status status = Check("BEGIN");
    if (!status.ok()) return status;
    return connection_->BeginWrite();
  }

  absl::Status BeginRead() override {
    absl::Status status = Check("BEGIN");
    if (!status.ok()) return status;
    return connection_->BeginRead();
  }

  absl::Status ExecuteMany(absl::string_view sql,
                           absl::Span<const absl::Span<const ValueView>> rows) override {
    absl::Status status = Check(sql);
    if (!status.ok()) return status;
    return connection_->ExecuteMany(sql, rows);
  }

  absl::Status SetSavepoint() override {
    absl::Status status = Check("SAVEPOINT");
    if (!status.ok()) return status;
    return connection_->SetSavepoint();
  }

  absl::Status RollbackToSavepoint() override {
    absl::Status status = Check("ROLLBACK TO SAVEPOINT");
    if (!status.ok()) return status;
    return connection_->RollbackToSavepoint();
  }

  absl::Status Commit() override {
    if (connection_ == nullptr) return absl::InternalError("committed on a lost connection");
    if (!faults_->commit) return connection_->Commit();
    absl::Status status = faults_->commit(&connection_);
    if (absl::IsUnavailable(status)) broken_ = true;
    return status;
  }

  void Rollback() override {
    if (connection_ != nullptr) connection_->Rollback();
  }

  bool in_transaction() const override {
    return connection_ != nullptr && connection_->in_transaction();
  }

  bool broken() const override {
    return broken_ || connection_ == nullptr || connection_->broken();
  }

  bool Alive() override { return !broken() && connection_->Alive(); }

  // Not to be called after the connection was taken away.
  void Interrupt() override { connection_->Interrupt(); }

 private:
  absl::Status Check(absl::string_view statement) {
    if (connection_ == nullptr || broken_) {
      return absl::InternalError("a lost connection was used");
    }
    return faults_->statement ? faults_->statement(statement) : absl::OkStatus();
  }

  // Null when a fault took it away.
  std::unique_ptr<ctldb::Connection> connection_;
  const Faults* const faults_;
  bool broken_ = false;
};

}  // namespace

std::unique_ptr<ctldb::Connection> WithFaults(std::unique_ptr<ctldb::Connection> connection,
                                              const Faults* faults) {
  return std::make_unique<FaultyConnection>(std::move(connection), faults);
}

}  // namespace ctlstore::executive
