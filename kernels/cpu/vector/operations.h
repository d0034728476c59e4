#pragma once

#include "kernels/operation.h"

// The files of this folder are compiled once per instruction set, each time into the namespace
// that the build names; cpu_backend.cpp picks one at run time. They keep to plain loops, so that
// no inline function of the standard library is emitted with instructions another machine lacks.
namespace trireme::kernels::VECTOR_NAMESPACE {

// Runs on the calling thread and its OpenMP team; done on return.
void run(const Operation& operation);

// Fused multiply-adds per second of one thread at f32, measured now.
double measure_peak_flops();

void run(const Fill&);
void run(const Convert&);
void run(const Add&);
void run(const Matmul&);
void run(const ColumnSum&);
void run(const RmsNorm&);
void run(const RmsNormBackward&);
void run(const LayerNorm&);
void run(const LayerNormBackward&);
void run(const Rope&);
void run(const Attention&);
void run(const AttentionBackward&);
void run(const SwiGlu&);
void run(const SwiGluBackward&);
void run(const Gelu&);
void run(const GeluBackward&);
void run(const Embedding&);
void run(const EmbeddingBackward&);
void run(const CrossEntropyStatistics&);
void run(const MergeStatistics&);
void run(const CrossEntropy&);
void run(const SquaredNorm&);
void run(const AdamW&);

}  // namespace trireme::kernels::VECTOR_NAMESPACE
