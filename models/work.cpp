#include "models/work.h"

#include "models/parameters.h"

namespace trireme::models {

FlopsPerToken training_flops(const Shape& shape, std::int64_t sequence_length) {
  // Every matrix but the lookup tables is multiplied once forward and twice backward. A tied
  // table is also the head's matrix.
  double matrix_elements = 0;
  for (const auto& parameter : parameter_table(shape)) {
    const bool lookup = parameter.unit == 0;
    if (parameter.is_matrix() && !lookup) matrix_elements += static_cast<double>(parameter.size());
  }
  if (shape.tie_word_embeddings) {
    matrix_elements += static_cast<double>(shape.vocab_size * shape.hidden_size);
  }
  const double attention = 3.0 * 4.0 * static_cast<double>(shape.num_hidden_layers) *
                           static_cast<double>(shape.query_columns()) *
                           static_cast<double>(sequence_length);
  return {.causal = 6 * matrix_elements + attention / 2, .full = 6 * matrix_elements + attention};
}

}  // namespace trireme::models
